/*
 * log_time.c - the time of log records as text.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "log_format.h"

/* Whole seconds and microseconds. */
typedef struct moment {
    time_t seconds;
    int micro;
} moment;

static moment moment_of(double time) {
    double whole = floor(time);
    moment m = {(time_t)whole, (int)((time - whole) * 1e6 + 0.5)};
    if (m.micro >= 1000000) {
        m.seconds++;
        m.micro -= 1000000;
    }
    return m;
}

void ahost__log_add_iso(ahost__log_text *text, double time) {
    moment m = moment_of(time);
    struct tm parts;
    char iso[80];
    gmtime_r(&m.seconds, &parts);
    snprintf(iso, sizeof(iso), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ",
             parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
             parts.tm_hour, parts.tm_min, parts.tm_sec, m.micro);
    ahost__log_add_string(text, iso);
}

/* Copies a format with %f replaced. -> whether it has found room */
static int fill_micro(char *copy, size_t size, const char *datefmt, int micro) {
    size_t at = 0;
    for (; *datefmt != '\0'; datefmt++) {
        if (at + 8 > size)
            return 0;
        if (datefmt[0] == '%' && datefmt[1] == 'f') {
            at += (size_t)snprintf(copy + at, size - at, "%06d", micro);
            datefmt++;
        } else {
            copy[at++] = *datefmt;
            if (datefmt[0] == '%' && datefmt[1] != '\0')
                copy[at++] = *++datefmt;
        }
    }
    copy[at] = '\0';
    return 1;
}

void ahost__log_add_time(ahost__log_text *text, const char *datefmt,
                         double time, int utc) {
    moment m = moment_of(time);
    struct tm parts;
    char format[256], result[512];
    if (utc)
        gmtime_r(&m.seconds, &parts);
    else
        localtime_r(&m.seconds, &parts);
    if (!fill_micro(format, sizeof(format), datefmt, m.micro))
        return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    ahost__log_add(text, result,
                   strftime(result, sizeof(result), format, &parts));
#pragma GCC diagnostic pop
}

void ahost__log_add_bsd_time(ahost__log_text *text, double time) {
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    moment m = moment_of(time);
    struct tm parts;
    char bsd[80];
    localtime_r(&m.seconds, &parts);
    snprintf(bsd, sizeof(bsd), "%s %2d %02d:%02d:%02d", months[parts.tm_mon],
             parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
    ahost__log_add_string(text, bsd);
}
