/* The table of routes: what can be asked, by whom, with which words, and who answers. From it come
 * the dispatch, the checks of what was sent, and /openapi.json; so the description can't rot. One
 * file per resource exports a list; route.c has the table of lists. Immutable: any thread. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/api/tokens.h"
#include "common/net/httpd_message.h"
#include "proto/id.h"

struct api_call;

enum api_lane { LANE_BROKER, LANE_BLOBS, LANE_COUNT };

enum param_type { PARAM_TEXT, PARAM_COUNT, PARAM_FLAG };
struct api_param {
    const char *name; /* NULL ends the list */
    enum param_type type;
    const char *help;
    int64_t max;  /* of a count */
    bool is_list; /* may be given many times */
};

enum { PATH_PARAMS_MAX = 2, ALSO_MAX = 4 };

struct api_route {
    const char *method;  /* "GET"; NULL ends the list */
    const char *pattern; /* "/v1/runs/{run}/stop"; "{ref...}" takes the rest, slashes too */
    const char *name;    /* of the operation: "stopRun" */
    const char *help;    /* one sentence */
    enum api_role role;
    enum api_lane lane;
    const struct api_param *query; /* NULL: none */
    const char *body;              /* the schema of a JSON body; NULL: there is none */
    bool body_is_required;
    bool takes_yaml; /* or a pipeline file instead */
    bool is_upload;  /* a body of bytes, in a file */
    uint64_t body_max;
    const char *answer;      /* the schema of the answer; NULL: not JSON, see `type` */
    const char *type;        /* content type of an answer that is not JSON */
    unsigned status;         /* of an answer; 0: 200 */
    unsigned also[ALSO_MAX]; /* other statuses that are no errors: redirects, 204 */
    enum status (*handle)(struct api_call *call, struct err *err);
};

extern const struct api_route routes_runs[], routes_tasks[], routes_pipelines[], routes_artifacts[],
    routes_blobs[], routes_service[], routes_care[];
/* NULL-terminated. */
extern const struct api_route *const api_routes[];

enum { REQUEST_ID_BYTES = 65 };

/* What the gate found out about a request; lives in its arena, behind `route`. */
struct api_match {
    const struct api_route *route;
    const char *path[PATH_PARAMS_MAX]; /* the values of {…}, in order */
    char request_id[REQUEST_ID_BYTES];
    /* For the blobs' thread: which artifact it turned out to be. */
    bool has_artifact, is_tree;
    struct id artifact;
};

/* Errors: E_NOTFOUND no route has that path; E_UNSUPPORTED it has not this method (`allowed` gets
 * those it has). */
MUST_USE enum status route_find(struct httpd_request *request, struct api_match *match,
                                struct buf *allowed, struct err *err);
/* Are the query's names and values what the route takes? Errors: E_INVALID. */
MUST_USE enum status route_check_query(const struct api_route *route,
                                       const struct httpd_request *request, struct err *err);
/* The {…} of a pattern, one after the other: name and bytes; false: no more. `cursor` begins at
 * 0. */
bool route_next_param(const char *pattern, size_t *cursor, const char **name, size_t *bytes);
