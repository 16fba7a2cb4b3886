/*
 * An intrusive, circular, doubly linked list: a link inside each element, and a head that is a link
 * too. The list owns nothing; an element is on at most one list per link.
 *
 *   struct list waiting;              list_init(&waiting);
 *   list_add_last(&waiting, &request->link);
 *   LIST_EACH_SAFE(link, &waiting) { struct request *r = CONTAINER_OF(link, struct request, link);
 * }
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/base.h"

struct list {
    struct list *next;
    struct list *previous;
};

static inline void list_init(struct list *head)
{
    head->next = head->previous = head;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

/* Puts `link` before `position`; before the head means last. */
static inline void list_add_before(struct list *position, struct list *link)
{
    link->previous = position->previous;
    link->next = position;
    position->previous->next = link;
    position->previous = link;
}

static inline void list_add_last(struct list *head, struct list *link)
{
    list_add_before(head, link);
}

static inline void list_add_first(struct list *head, struct list *link)
{
    list_add_before(head->next, link);
}

/* Takes the link out and leaves it alone on itself, so that removing it twice does no harm. */
static inline void list_remove(struct list *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}

/* True if the link, initialised before, is on some list. */
static inline bool list_is_linked(const struct list *link)
{
    return link->next != link;
}

/* Takes out and returns the first, NULL if there is none. */
static inline struct list *list_take_first(struct list *head)
{
    if (list_is_empty(head)) return NULL;
    struct list *first = head->next;
    list_remove(first);
    return first;
}

/* Moves everything of `from` to the end of `to`. */
static inline void list_move_all(struct list *to, struct list *from)
{
    if (list_is_empty(from)) return;
    from->next->previous = to->previous;
    to->previous->next = from->next;
    from->previous->next = to;
    to->previous = from->previous;
    list_init(from);
}

#define LIST_EACH(link, head)                                                                      \
    for (struct list *link = (head)->next; (link) != (head); (link) = (link)->next)

/* The body may remove `link`. */
#define LIST_EACH_SAFE(link, head)                                                                 \
    for (struct list *link = (head)->next, *link##_next = (link)->next; (link) != (head);          \
         (link) = link##_next, link##_next = (link)->next)

#endif
