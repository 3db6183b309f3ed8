// A program that does nothing, of a size that programs have; see operations.c.
static const char kWeight[200000] = {1};

int main(void) { return kWeight[1]; }
