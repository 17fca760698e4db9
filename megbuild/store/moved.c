/* Which files of a note have moved: the loop of megbuild/store/moved.py, compiled by `./doit` where there is a C compiler. */

#include <stdint.h>
#include <sys/stat.h>

/* Looks at `count` files, whose paths stand one after the other from `path` on; of each the first `skip` bytes are the
   current folder. `lengths` are those of the paths with their closing zeros, `seen` the stamps as they were noted, in
   columns of `rows` numbers. Writes the positions of those that look otherwise to `moved`, and gives how many they are. */
int64_t megbuild_moved(const char *path, int64_t skip, const uint16_t *lengths, const int64_t *seen, int64_t rows,
                       int64_t count, int32_t *moved)
{
    int64_t found = 0;
    for (int64_t at = 0; at < count; path += lengths[at++]) {
        struct stat now;
        if (lengths[at] <= skip || stat(path + skip, &now) || (int64_t)now.st_ino != seen[at] ||
            now.st_size != seen[rows + at] || now.st_mtim.tv_sec != seen[2 * rows + at] ||
            now.st_mtim.tv_nsec != seen[3 * rows + at] || now.st_ctim.tv_sec != seen[4 * rows + at] ||
            now.st_ctim.tv_nsec != seen[5 * rows + at])
            moved[found++] = at;
    }
    return found;
}
