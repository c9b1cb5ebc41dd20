/*
 * number.c - numbers as text.
 */
#include "number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ahost__print_float(double x, char *text, size_t size) {
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, x);
        if (strtod(text, NULL) == x) {
            break;
        }
    }
    char *other = text + strspn(text, "-0123456789e+");
    if (*other != '\0') {
        *other = '.';
    } else if (strchr(text, 'e') == NULL) {
        strcat(text, ".0");
    }
}
