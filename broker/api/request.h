/* A request for a pipeline, from JSON or from a pipeline file with its settings in the query, as
 * the application takes it. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/api/call.h"

/* The query of routes that take a pipeline file as their body. */
extern const struct api_param request_query[];

/* Texts live in the call. `needs_pipeline`: without one it is E_INVALID. Errors: E_INVALID. */
MUST_USE enum status request_read(struct api_call *call, bool needs_pipeline,
                                  struct app_request *out, struct err *err);
