/* Finds the functions of one library of CUDA when they are first called. @LIB@, @FILES@, @NAMES@, @TEXTS@ and @ERROR@ are
   filled in for each library; the jumps that end here are in its assembler file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

static const char *const files[] = {@FILES@, 0};
static const char *const names[] = {@NAMES@};
/* Whether a function returns text instead of a status. */
static const char gives_text[] = {@TEXTS@};
extern void *lazy_table_@LIB@[];

static int no_library(void) { return @ERROR@; }
static const char *no_text(void) { return "the library is missing"; }

__attribute__((visibility("hidden"))) void *lazy_resolve_@LIB@(unsigned long index) {
    /* Loading a library twice gives the same one: threads need no lock. */
    static void *volatile library;
    for (const char *const *file = files; *file && !library; file++) library = dlopen(*file, RTLD_NOW | RTLD_GLOBAL);
    void *function = library ? dlsym(library, names[index]) : 0;
    if (library && !function) fprintf(stderr, "%s has no %s: it is too old\n", files[0], names[index]);
    if (!function) return gives_text[index] ? (void *)no_text : (void *)no_library;
    return lazy_table_@LIB@[index] = function;
}
