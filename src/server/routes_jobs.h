/* Jobs over HTTP; docs/queues.md has the reference. */
#ifndef SERVER_ROUTES_JOBS_H
#define SERVER_ROUTES_JOBS_H

#include "jobs/payload.h"
#include "server/router.h"

route_handler jobs_handle_submit; /* POST /v2/models/{}[/versions/{}]/jobs */
route_handler jobs_handle_list;   /* GET /v2/jobs */
route_handler jobs_handle_get;    /* GET /v2/jobs/{} */
route_handler jobs_handle_result; /* GET /v2/jobs/{}/result */
route_handler jobs_handle_events; /* GET /v2/jobs/{}/events */
route_handler jobs_handle_cancel; /* POST /v2/jobs/{}/cancel, DELETE /v2/jobs/{} */
route_handler jobs_handle_retry;  /* POST /v2/jobs/{}/retry */

struct job_preference;

/* For a request that has been accepted as this job: answers as the synchronous call would if it is
 * over in the preferred time, else 202. False: that many wait already; nothing was answered. */
bool jobs_wait(struct server_thread *thread, struct http_exchange *exchange, struct str id,
               const struct job_preference *preference);

/* An inference whose client prefers not to wait: `match` is that of its route. */
void jobs_submit(struct server_thread *thread, struct http_exchange *exchange,
                 const struct route_match *match, enum payload_face face);

#endif
