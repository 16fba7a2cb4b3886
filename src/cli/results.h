/*
 * Where `slipway results` finds records: the data store itself, or a server that is asked.
 *
 *   struct results *results;
 *   TRY(results_open(config, &results, err));
 *   TRY(results_page(results, &list, &arena, err));       // list.cursor, then list.next
 *   results_close(results);
 */
#ifndef CLI_RESULTS_H
#define CLI_RESULTS_H

#include "app/data.h"
#include "config/config.h"
#include "store/store.h"

struct results;

/* By results.url if it is set, else by data.url; what is not there is not made. */
enum status results_open(const struct config *config, struct results **ret_results,
                         struct error *err) FALLIBLE;
/* Accepts NULL. */
void results_close(struct results *results);

/* The next page; the records lie in the arena. */
enum status results_page(struct results *results, struct store_list *list, struct arena *arena,
                         struct error *err) FALLIBLE;

/* One record with its payloads. */
enum status results_get(struct results *results, struct str id, struct arena *arena,
                        struct record *ret_record, struct error *err) FALLIBLE;

/* The data store and what it is opened by, FAILED_PRECONDITION if a server is asked. */
enum status results_store(struct results *results, struct store **ret_store, struct data **ret_data,
                          struct error *err) FALLIBLE;

#endif
