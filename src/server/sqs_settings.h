/*
 * A queue's settings as SQS's protocol names them: a map of texts. Pure.
 *
 *   TRY(sqs_settings_apply(&request->attributes, &change, &settings, failure));
 *   text = sqs_settings_print(&view, STR("RedrivePolicy"));
 */
#ifndef SERVER_SQS_SETTINGS_H
#define SERVER_SQS_SETTINGS_H

#include "server/sqs_name.h"
#include "server/sqs_request.h"

/* What settings are changed in: whose, with what memory. */
struct sqs_change {
    struct str queue;
    bool creates; /* CreateQueue: the type may be named */
    struct arena *arena;
};

/*
 * Sets what `attributes` name; the rest stays. An attribute that is unknown, out of its range, or
 * not one of this type of queue is refused, and `settings` may be changed in part.
 */
enum status sqs_settings_apply(const struct sqs_pairs *attributes, const struct sqs_change *change,
                               struct queue_settings *settings,
                               struct sqs_failure *failure) FALLIBLE;

/* What an attribute is printed from. */
struct sqs_view {
    const struct queue_description *description;
    const struct queue_depth *depth; /* NULL: not looked at, counts are left out */
    const struct sqs_site *site;
    struct arena *arena;
};

/* The text of an attribute; data NULL if this queue has none of that name, or memory is short. */
struct str sqs_settings_print(const struct sqs_view *view, struct str name);

/* Every attribute there is, in the order they are told: index < sqs_attribute_count(). */
size_t sqs_attribute_count(void);
struct str sqs_attribute_name(size_t index);

/* True if the name is one of them; `ret_counts`: it is a number of messages. */
bool sqs_attribute_find(struct str name, bool *ret_counts);

/* The first of `attributes` that has another value in `theirs` than in `ours`; NULL if none has. */
const struct sqs_pair *sqs_settings_difference(const struct sqs_pairs *attributes,
                                               const struct sqs_view *ours,
                                               const struct sqs_view *theirs);

/* True if the RedriveAllowPolicy of a dead-letter queue lets `source` name it. */
bool sqs_redrive_is_allowed(const struct queue_settings *settings, struct str source,
                            struct arena *arena);

/* What is kept and told back without effect: Policy and the like; data NULL if it is not there. */
struct str sqs_other_find(const struct queue_settings *settings, struct str name,
                          struct arena *arena);

/* Puts it there; an empty value takes it away. */
enum status sqs_other_put(struct queue_settings *settings, const struct sqs_pair *pair,
                          struct arena *arena, struct sqs_failure *failure) FALLIBLE;

#endif
