/*
 * From a call's outputs to the protocol-neutral reply: the outputs that the request wanted, by the
 * names it gave, classified where it asked for classes. What every face of the product writes.
 */
#ifndef SERVE_REPLY_H
#define SERVE_REPLY_H

#include "serve/serve.h"

/*
 * Inside on_done of a call that succeeded; `request` is the one it was bound from. The reply's
 * memory is the request's arena; its tensors are the engine's, as long as call->outputs is.
 * EXHAUSTED without memory, or what classification refuses.
 */
enum status serve_reply_make(const struct serve_call *call, const struct infer_request *request,
                             struct infer_reply *ret_reply, struct error *err) FALLIBLE;

#endif
