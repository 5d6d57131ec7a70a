/* What GCC calls in place of loops that copy and clear, where there is no library. */
#include <stddef.h>
#include <stdint.h>

void *memmove(void *to, const void *from, size_t bytes)
{
    unsigned char *target = to;
    const unsigned char *source = from;
    if ((uintptr_t)target - (uintptr_t)source < bytes) {
        while (bytes-- != 0)
            target[bytes] = source[bytes];
        return to;
    }
    if (((uintptr_t)target | (uintptr_t)source) % 4 == 0)
        for (; bytes >= 4; bytes -= 4, target += 4, source += 4)
            *(uint32_t *)target = *(const uint32_t *)source;
    while (bytes-- != 0)
        *target++ = *source++;
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    return memmove(to, from, bytes);
}

void *memset(void *to, int value, size_t bytes)
{
    unsigned char *target = to;
    uint32_t word = (unsigned char)value * 0x01010101u;
    if ((uintptr_t)target % 4 == 0)
        for (; bytes >= 4; bytes -= 4, target += 4)
            *(uint32_t *)target = word;
    while (bytes-- != 0)
        *target++ = (unsigned char)value;
    return to;
}
