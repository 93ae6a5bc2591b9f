// SPDX-License-Identifier: Apache-2.0
#include "common/net/http_fault.h"

#include <string.h>

#include <curl/curl.h>

static enum http_fault fault_of(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return HTTP_NO_HOST;
    case CURLE_COULDNT_CONNECT: return HTTP_NO_CONNECTION;
    case CURLE_OPERATION_TIMEDOUT: return HTTP_TOO_SLOW;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_USE_SSL_FAILED: return HTTP_UNTRUSTED;
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return HTTP_BAD_URL;
    default: return HTTP_BROKEN;
    }
}

/* A server that goes, or comes, cuts handshakes off: there was nothing in it to trust or not. */
static bool is_cut_off(const char *text)
{
    static const char *const words[] = {"SSL_ERROR_SYSCALL", "SSL_ERROR_ZERO_RETURN",
                                        "unexpected eof", "reset by peer", "Broken pipe"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(text, words[i]))
            return true;
    return false;
}

enum http_fault http_fault_of(int code, const char *text, const char *url)
{
    if (code == CURLE_UNSUPPORTED_PROTOCOL && strncmp(url, "http", 4) == 0)
        return HTTP_BROKEN; /* what came back has no HTTP head */
    if (code == CURLE_SSL_CONNECT_ERROR && is_cut_off(text))
        return HTTP_BROKEN;
    return fault_of((CURLcode)code);
}

enum status http_fault_status(enum http_fault fault)
{
    return fault == HTTP_UNTRUSTED ? E_DENIED : fault == HTTP_BAD_URL ? E_INVALID : E_UNREACHABLE;
}
