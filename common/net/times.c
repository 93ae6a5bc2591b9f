// SPDX-License-Identifier: Apache-2.0
#include "common/net/times.h"

#include <string.h>
#include <time.h>

bool times_parse_iso(const char *text, int64_t *out)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!end)
        return false;
    if (*end == '.')
        end += 1 + strspn(end + 1, "0123456789");
    *out = timegm(&tm);
    return strcmp(end, "Z") == 0 || strcmp(end, "+00:00") == 0;
}

bool times_parse_http(const char *text, int64_t *out)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S", &tm);
    *out = end ? timegm(&tm) : 0;
    return end && strcmp(end, " GMT") == 0;
}
