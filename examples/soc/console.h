/* What the simulation offers beside memory and the machine, and how the firmware speaks. */
#ifndef CONSOLE_H
#define CONSOLE_H

#define CONSOLE_PRINT (*(volatile unsigned *)0x10000000)
#define CONSOLE_COPY_MEMORY (*(volatile unsigned *)0x10000004)

static inline void print(const char *text)
{
    while (*text != '\0')
        CONSOLE_PRINT = (unsigned char)*text++;
}

static inline void print_number(unsigned value)
{
    if (value >= 10)
        print_number(value / 10);
    CONSOLE_PRINT = '0' + value % 10;
}

/* A line: a name and a number. */
static inline void print_value(const char *name, unsigned value)
{
    print(name);
    print(" ");
    print_number(value);
    print("\n");
}

#endif
