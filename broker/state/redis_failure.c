/* What the server refuses, in words that name the setting and the mend. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/state/redis_link.h"
#include "broker/state/state.h"

#define LOADING_TEXT "it is still loading its data from disk"

static const struct failure {
    const char *code; /* the first word of the answer; scripts carry it behind other words, too */
    enum status status;
    const char *text;
} failures[] = {
    {"OOM", E_FULL,
     "its maxmemory is reached; raise maxmemory (CONFIG SET maxmemory …), or remove runs (broker "
     "gc)"},
    {"READONLY", E_UNREACHABLE,
     "it is a replica and takes no writes; name the master in REDIS_URL, or let Sentinel say which "
     "it is (redis+sentinel://HOST:26379/MASTER)"},
    {"LOADING", E_UNREACHABLE, LOADING_TEXT},
    {"MASTERDOWN", E_UNREACHABLE, "it is a replica whose master is gone"},
    {"NOREPLICAS", E_UNREACHABLE,
     "it has fewer replicas than its min-replicas-to-write asks for, so it takes no writes"},
    {"BUSY", E_UNREACHABLE, "it is busy with somebody's script (SCRIPT KILL ends it)"},
    {"MISCONF", E_IO,
     "it can't write to its disk and takes no writes until it can (free some space where its dir "
     "is; its log says more)"},
    {"NOAUTH", E_DENIED,
     "it asks for a password; give it in REDIS_URL: redis://USER:PASSWORD@HOST:PORT"},
    {"WRONGPASS", E_DENIED, "the password or user in REDIS_URL is wrong"},
    {"NOPERM", E_DENIED,
     "its user lacks a right (ACL SETUSER USER ~NS:* +@read +@write +@scripting +@connection "
     "+info +time)"},
    {"MOVED", E_UNSUPPORTED, "it is a cluster; use one server, with Sentinel for a standby"},
    {"CROSSSLOT", E_UNSUPPORTED, "it is a cluster; use one server, with Sentinel for a standby"},
    {"CLUSTERDOWN", E_UNSUPPORTED, "it is a cluster; use one server, with Sentinel for a standby"},
    {"NOSCRIPT", E_UNREACHABLE, "it has forgotten the scripts"},
    {"ERR max number of clients", E_UNREACHABLE, "it takes no more clients (its maxclients)"},
    {"ERR AUTH", E_DENIED, "it has no password, and REDIS_URL gives one"},
    {"ERR Client sent AUTH", E_DENIED, "it has no password, and REDIS_URL gives one"},
    {"ERR invalid password", E_DENIED, "the password in REDIS_URL is wrong"},
    {"ERR DB index", E_INVALID, "it has no database of that number; see its setting databases"},
    {"ERR unknown command", E_UNSUPPORTED, "it lacks a command; Redis 6.2 or later is needed"},
};

/* Before Redis 7, what a script was refused stands behind "ERR Error running script …: -CODE". */
static bool says(const char *text, const char *code)
{
    size_t bytes = strlen(code);
    const char *inner = strstr(text, "-");
    if (strncmp(text, code, bytes) == 0)
        return true;
    for (; inner; inner = strstr(inner + 1, "-"))
        if (inner > text && inner[-1] == ' ' && strncmp(inner + 1, code, bytes) == 0)
            return strncmp(text, "ERR Error running script", 24) == 0;
    return false;
}

enum status redis_failure(const struct redis_url *url, const char *text, struct err *err)
{
    size_t line = strcspn(text, "\r\n");
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++)
        if (says(text, failures[i].code))
            return err_set(err, failures[i].status, "%s: %s (it said: %.*s)", url->shown,
                           failures[i].text, (int)(line < 120 ? line : 120), text);
    return err_set(err, E_PROTOCOL, "%s: it refuses a command: %.*s", url->shown,
                   (int)(line < 300 ? line : 300), text);
}

bool state_is_loading(const struct err *err)
{
    return err->code == E_UNREACHABLE && strstr(err->text, ": " LOADING_TEXT " (");
}
