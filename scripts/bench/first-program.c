/* The first program of a guest that has nothing else: says that the kernel has come to user space. */
#include <unistd.h>

int main(void) {
  static const char said[] = "user space\n";
  if (write(1, said, sizeof said - 1) < 0) return 1;
  for (;;) pause();
}
