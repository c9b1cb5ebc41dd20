/*
 * yaml_scalar.c - what plain scalars mean: the core schema of YAML 1.2.
 */
#include "yaml_scalar.h"

#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

static bool is_one_of(const char *text, const char *const *words) {
    while (*words != NULL && strcmp(text, *words) != 0)
        words++;
    return *words != NULL;
}

static bool is_null(const char *text) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return is_one_of(text, words);
}

static bool is_boolean(const char *text) {
    static const char *const words[] = {"true",  "True",  "TRUE", "false",
                                        "False", "FALSE", NULL};
    return is_one_of(text, words);
}

static const char *skip_sign(const char *text) {
    return *text == '-' || *text == '+' ? text + 1 : text;
}

static const char *skip_digits(const char *text) {
    return text + strspn(text, "0123456789");
}

/* Whether the text is not empty and of these characters only. */
static bool consists_of(const char *text, const char *characters) {
    return *text != '\0' && text[strspn(text, characters)] == '\0';
}

/* 10 with or without a sign, 8 and 16 by a prefix; 0 is no integer. */
static int base_of(const char *text) {
    if (text[0] == '0' && text[1] == 'o')
        return consists_of(text + 2, "01234567") ? 8 : 0;
    if (text[0] == '0' && text[1] == 'x')
        return consists_of(text + 2, "0123456789abcdefABCDEF") ? 16 : 0;
    return consists_of(skip_sign(text), "0123456789") ? 10 : 0;
}

static bool is_infinity(const char *text) {
    static const char *const words[] = {".inf", ".Inf", ".INF", NULL};
    return is_one_of(skip_sign(text), words);
}

static bool is_nan(const char *text) {
    static const char *const words[] = {".nan", ".NaN", ".NAN", NULL};
    return is_one_of(text, words);
}

/* [-+]? ( \.[0-9]+ | [0-9]+(\.[0-9]*)? ) ( [eE][-+]?[0-9]+ )? */
static bool is_decimal(const char *text) {
    const char *at = skip_sign(text), *digits = at;
    at = skip_digits(at);
    if (*at == '.') {
        bool before = at > digits;
        digits = ++at;
        at = skip_digits(at);
        if (!before && at == digits)
            return false;
    } else if (at == digits) {
        return false;
    }
    if (*at == 'e' || *at == 'E')
        return consists_of(skip_sign(at + 1), "0123456789");
    return *at == '\0';
}

/* Whether this can begin anything but a string. */
static bool is_telling(char c) {
    return c != '\0' && strchr("~nNtTfF0123456789+-.", c) != NULL;
}

ahost__yaml_kind ahost__yaml_kind_of(const char *text, size_t length) {
    if (length == 0)
        return AHOST__YAML_NULL;
    if (!is_telling(*text) || strlen(text) != length)
        return AHOST__YAML_STRING;
    if (base_of(text) != 0)
        return AHOST__YAML_INTEGER;
    if (is_decimal(text) || is_infinity(text) || is_nan(text))
        return AHOST__YAML_FLOAT;
    if (is_null(text))
        return AHOST__YAML_NULL;
    return is_boolean(text) ? AHOST__YAML_BOOLEAN : AHOST__YAML_STRING;
}

static unsigned digit_value(char c) {
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* Pushes the integer; false if 64 bits do not hold it. */
static bool push_integer(lua_State *L, const char *text) {
    unsigned base = (unsigned)base_of(text);
    bool negative = *text == '-';
    uint64_t value = 0, limit = (uint64_t)INT64_MAX + negative;
    for (text = base == 10 ? skip_sign(text) : text + 2; *text; text++) {
        unsigned digit = digit_value(*text);
        if (value > (limit - digit) / base)
            return false;
        value = value * base + digit;
    }
    lua_pushinteger(L, (lua_Integer)(negative ? 0 - value : value));
    return true;
}

/* Pushes the float; false if it is beyond the doubles. Lua knows about the
 * decimal points of locales. */
static bool push_float(lua_State *L, const char *text) {
    if (is_infinity(text)) {
        lua_pushnumber(L, *text == '-' ? -HUGE_VAL : HUGE_VAL);
        return true;
    }
    if (is_nan(text)) {
        lua_pushnumber(L, (lua_Number)NAN);
        return true;
    }
    if (lua_stringtonumber(L, text) == 0)
        return false;
    if (!isfinite(lua_tonumber(L, -1))) {
        lua_pop(L, 1);
        return false;
    }
    if (lua_isinteger(L, -1)) {
        lua_pushnumber(L, lua_tonumber(L, -1));
        lua_replace(L, -2);
    }
    return true;
}

bool ahost__yaml_push(lua_State *L, ahost__yaml_kind kind, const char *text,
                      size_t length) {
    switch (kind) {
    case AHOST__YAML_NULL:
        lua_pushlightuserdata(L, NULL); /* json.null */
        return true;
    case AHOST__YAML_BOOLEAN:
        lua_pushboolean(L, *text == 't' || *text == 'T');
        return true;
    case AHOST__YAML_INTEGER:
        return push_integer(L, text);
    case AHOST__YAML_FLOAT:
        return push_float(L, text);
    default:
        lua_pushlstring(L, text, length);
        return true;
    }
}
