/* What libcurl's codes mean to those who ask (http_client.h). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/net/http_client.h"

/* `code`: a CURLcode other than CURLE_OK; `text`: what libcurl said; `url`: what was asked. */
enum http_fault http_fault_of(int code, const char *text, const char *url);
enum status http_fault_status(enum http_fault fault);
