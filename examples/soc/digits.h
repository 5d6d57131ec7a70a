/* Digits, and the numbers that the machine takes for them. demo.py writes digits.c. */
#ifndef DIGITS_H
#define DIGITS_H

enum { DIGITS = 8, PIXELS = 784, CLASSES = 10 };

struct digits {
    unsigned char pixels[DIGITS][PIXELS]; /* 0 is paper, 255 ink */
    unsigned char labels[DIGITS];
};

extern const struct digits test_digits, training_digits;
extern const short code_of_pixel[256];
extern const short code_of_target[2]; /* of a class that is not the label, and of one that is */

#endif
