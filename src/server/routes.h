/*
 * What the server answers: the table of routes, and the handlers that its rows name. Each handler
 * is called on the exchange's loop thread and answers now, or later on that thread.
 */
#ifndef SERVER_ROUTES_H
#define SERVER_ROUTES_H

#include "server/router.h"
#include "server/thread.h"

/* Looks the exchange's path up and calls its handler, or answers 404 or 405. */
void routes_answer(struct server_thread *thread, struct http_exchange *exchange);

/* What must be known before the body is read: limits, and where its binary section begins. */
void routes_prepare(struct server_thread *thread, struct http_exchange *exchange);

route_handler infer_handle_oip;  /* POST /v2/models/{}[/versions/{}]/infer */
route_handler infer_handle_v1;   /* POST /v1/models/{}[/versions/{}]:predict */
route_handler infer_handle_bare; /* POST /models/{} */

route_handler model_handle_list;       /* GET /v2/models */
route_handler model_handle_metadata;   /* GET /v2/models/{}[/versions/{}] */
route_handler model_handle_ready;      /* GET .../ready */
route_handler model_handle_config;     /* GET .../config */
route_handler model_handle_statistics; /* GET .../stats */
route_handler model_handle_v1_list;    /* GET /v1/models */
route_handler model_handle_v1_status;  /* GET /v1/models/{}[/versions/{}] */

route_handler repository_handle_index;  /* POST /v2/repository/index */
route_handler repository_handle_load;   /* POST /v2/repository/models/{}/load */
route_handler repository_handle_unload; /* POST /v2/repository/models/{}/unload */
route_handler repository_handle_named;  /* the same with a repository's name: not supported */

route_handler results_handle_list;  /* GET /v2/results */
route_handler results_handle_get;   /* GET /v2/results/{} */
route_handler results_handle_label; /* POST /v2/results/{}/label */

route_handler server_handle_root;     /* GET / */
route_handler server_handle_metadata; /* GET /v2 */
route_handler server_handle_live;     /* GET /v2/health/live */
route_handler server_handle_ready;    /* GET /v2/health/ready */
route_handler server_handle_logging;  /* GET, POST /v2/logging */
route_handler server_handle_metrics;  /* GET /metrics */

#endif
