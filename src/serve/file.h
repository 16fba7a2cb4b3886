/*
 * Files of models: reading one whole, and names that may not lead out of their directory.
 */
#ifndef SERVE_FILE_H
#define SERVE_FILE_H

#include "base/str.h"

enum { FILE_PATH_MAX = 4096, FILE_COMPONENT_MAX = 255 };

/* Relative, no empty, "." or ".." component, none longer than FILE_COMPONENT_MAX, no NUL. */
bool file_path_is_inside(struct str path);

/* A whole file, at most size_max bytes; text owned by the caller (mem_free), NUL behind it. */
enum status file_read(const char *path, size_t size_max, struct str *ret_text,
                      struct error *err) FALLIBLE;

/* As file_read, of `directory`/`name`; refuses a name that is not inside. */
enum status file_read_inside(const char *directory, const char *name, size_t size_max,
                             struct str *ret_text, struct error *err) FALLIBLE;

/* Writes a file, making the directories of `name` below `directory`; refuses a name not inside. */
enum status file_write_inside(const char *directory, struct str name, struct str content,
                              struct error *err) FALLIBLE;

/* Removes a directory and everything in it, following no link. What cannot be removed stays. */
void file_remove_tree(const char *directory);

#endif
