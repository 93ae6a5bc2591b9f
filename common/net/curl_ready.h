/* libcurl wants one global initialisation before its first use by any thread. Every file of this
 * folder that uses it calls curl_ready() first. Cheap after the first time; any thread. It lets
 * SIGPIPE be ignored where nothing else was said of it: TLS writes to a connection that is gone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once

void curl_ready(void);
