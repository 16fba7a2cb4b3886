/*
 * The shared files of AWS's tools (~/.aws/credentials, ~/.aws/config): one setting of one profile.
 * Pure; nothing is copied, since what is read are secrets.
 *
 *   struct str id;
 *   if (profile_find(text, PROFILE_CREDENTIALS, STR("default"), STR("aws_access_key_id"), &id))
 *
 * Lines are "key = value", comments begin a line with '#' or ';' or follow white space in it;
 * indented lines belong to the setting before them (a nested one) and are none of their own. Of a
 * setting that is there twice the last counts. Lines that are neither are passed over.
 */
#ifndef AWS_PROFILE_H
#define AWS_PROFILE_H

#include "base/str.h"

enum { PROFILE_FILE_SIZE_MAX = 1024 * 1024 }; /* what a caller should read of a file, in bytes */

enum profile_file {
    PROFILE_CREDENTIALS, /* sections are "[name]" */
    PROFILE_CONFIG, /* "[profile name]", and "[default]", before which [profile default] goes */
};

/* False: no such profile, or not that setting in it. Keys are compared without case. */
bool profile_find(struct str text, enum profile_file file, struct str profile, struct str key,
                  struct str *ret_value) FALLIBLE;

/* True if there is a section for the profile. */
bool profile_exists(struct str text, enum profile_file file, struct str profile);

#endif
