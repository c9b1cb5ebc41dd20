---@meta ahost.fs

--- ahost.fs: files and directories.
---
--- Everything waits, in a task, while a thread does what blocks; there are `max_threads`
--- of them (4), for files alone. An operation that is cancelled and has not begun is not
--- done; one that a thread is at stops where it can. A failure is `nil, err`, with
--- libuv's code: ENOENT, EACCES, EISDIR, ENOTDIR, ENOSPC, EROFS, ELOOP, ENAMETOOLONG,
--- EMFILE...; `tostring(err)` names the operation and the path.
---
--- Paths are relative to the working directory of the process. A mode is a string of
--- octal digits, `"644"`, or a number of bits as `fs.stat` gives. `fs.temporary` and
--- `fs.watch` are annotated in lua/ahost/fs.lua and lua/ahost/fs/watch.lua.
local fs = {}

-- Whole files ---------------------------------------------------------------------------

---Reads a whole file. Of a pipe it waits for the writer, and keeps a thread.
---@param path string
---@param limit? integer        bytes at most, else code TOOLONG (64 MiB)
---@return string? data
---@return ahost.Error? err     code ENOMEM: the host's limit of memory
function fs.read(path, limit) end

---@class ahost.fs.WriteOptions
---@field atomic? boolean         the old contents or the new ones: see `fs.write`
---@field append? boolean         at the end of what there is
---@field mode? string|integer    of a new file, less the umask ("666"); with `atomic` of
---                               the file, as it is (that of the old file)

---Writes a whole file, makes it if need be. With `atomic` it is written beside the old
---one, synced and renamed: whatever happens, the path has the old contents or the new
---ones, and nothing else is left behind. Links are followed; owner and mode are kept.
---Without it what is cancelled or fails may be written in part.
---@param path string
---@param data string|string[]    copied
---@param opts? ahost.fs.WriteOptions
---@return true? ok
---@return ahost.Error? err
function fs.write(path, data, opts) end

---@class ahost.fs.CopyOptions
---@field overwrite? boolean      replaces a file that is there, atomically
---@field mode? string|integer    (that of the copied file)

---Copies the contents and the mode of a file. What fails leaves nothing behind.
---@param from string
---@param to string    the path of the new file, not of its directory
---@param opts? ahost.fs.CopyOptions
---@return true? ok
---@return ahost.Error? err    code EEXIST; EINVAL: onto itself
function fs.copy(from, to, opts) end

-- Names ---------------------------------------------------------------------------------

---@class ahost.fs.Stat
---@field type "file"|"directory"|"link"|"fifo"|"socket"|"char"|"block"|"unknown"
---@field size integer      bytes
---@field mode integer      permission bits
---@field mtime number      seconds since 1970
---@field uid integer
---@field gid integer
---@field inode integer     with `device` what tells a file from others
---@field device integer
---@field links integer     hard links

---@param path string
---@return ahost.fs.Stat? stat
---@return ahost.Error? err
function fs.stat(path) end

---The same of a link itself.
---@param path string
---@return ahost.fs.Stat? stat
---@return ahost.Error? err
function fs.lstat(path) end

---@param path string
---@return boolean? exists      false for a link that leads nowhere, too
---@return ahost.Error? err     it cannot be told: code EACCES, ELOOP...
function fs.exists(path) end

---@param path string    of a directory
---@return {name: string, type: string}[]? entries    sorted by name; without "." and ".."
---@return ahost.Error? err
function fs.list(path) end

---@class ahost.fs.MkdirOptions
---@field parents? boolean        those above, too; it is fine if the directory is there
---@field mode? string|integer    less the umask ("777")

---@param path string
---@param opts? ahost.fs.MkdirOptions
---@return true? ok
---@return ahost.Error? err
function fs.mkdir(path, opts) end

---Removes a file, a link, or an empty directory; with `recursive` a directory with all
---that is in it. Follows no links, whatever others do to the directory meanwhile.
---@param path string
---@param opts? {recursive?: boolean}
---@return true? ok
---@return ahost.Error? err    code ENOTEMPTY; EINVAL: "." or ".."; EBUSY: the root
function fs.remove(path, opts) end

---Renames a file, in the place of one that is there; not between file systems.
---@param from string
---@param to string
---@return true? ok
---@return ahost.Error? err    code EXDEV: use `copy` and `remove`
function fs.rename(from, to) end

---@param target string    what the link says, relative to its own directory
---@param path string      of the link
---@return true? ok
---@return ahost.Error? err
function fs.symlink(target, path) end

---@param path string
---@return string? target
---@return ahost.Error? err    code EINVAL: no link
function fs.readlink(path) end

---@param path string
---@param mode string|integer
---@return true? ok
---@return ahost.Error? err
function fs.chmod(path, mode) end

-- Open files ----------------------------------------------------------------------------

---An open file: the methods and results of a stream, and a position. What several tasks
---do with it is done one after the other; `read_at` and `write_at` go on beside. What is
---written is with the kernel when the call returns. A reading that is cancelled takes
---nothing. The file is closed with the context that it was opened in.
---@class ahost.fs.File
local File = {}

---@param path string
---@param mode? string    "r" (default), "w", "a", with "+" both ways; "wx": a new file
---@param permissions? string|integer    of a new file, less the umask ("666")
---@return ahost.fs.File? file
---@return ahost.Error? err
function fs.open(path, mode, permissions) end

---Reads what there is, one byte at least.
---@param max? integer        bytes at most (65536)
---@return string? data       a plain nil at the end
---@return ahost.Error? err
function File:read(max) end

---@param n integer           bytes
---@return string? data       a plain nil at the end
---@return ahost.Error? err   err.partial holds the bytes before a premature end
function File:read_exactly(n) end

---Reads a line, without its end `\n` or `\r\n`; at the end the unfinished rest.
---@param limit? integer      bytes at most, else code TOOLONG (65536)
---@return string? line       a plain nil at the end
---@return ahost.Error? err
function File:read_line(limit) end

---Reads up to a delimiter, which is taken but not returned.
---@param delimiter string
---@param limit? integer      bytes at most, else code TOOLONG (65536)
---@return string? data       a plain nil at the end
---@return ahost.Error? err
function File:read_until(delimiter, limit) end

---Reads all that follows; "" at the end.
---@param limit? integer      bytes at most, else code TOOLONG (64 MiB)
---@return string? data
---@return ahost.Error? err
function File:read_all(limit) end

---Reads elsewhere; the position stays.
---@param offset integer
---@param n integer           bytes at most: fewer at the end
---@return string? data       a plain nil at the end
---@return ahost.Error? err
function File:read_at(offset, n) end

---Iterates over lines; raises what goes wrong.
---@param limit? integer
---@return fun(): string?
---@return ahost.fs.File
function File:lines(limit) end

---Iterates over what there is; raises what goes wrong.
---@param max? integer
---@return fun(): string?
---@return ahost.fs.File
function File:chunks(max) end

---@param data string|string[]
---@param ... string|string[]
---@return true? ok
---@return ahost.Error? err
function File:write(data, ...) end

---Writes elsewhere; the position stays.
---@param offset integer
---@param data string|string[]
---@param ... string|string[]
---@return true? ok
---@return ahost.Error? err
function File:write_at(offset, data, ...) end

---Waits until all that was written before is with the kernel.
---@return true? ok
---@return ahost.Error? err
function File:flush() end

---Waits until all is on the disk.
---@return true? ok
---@return ahost.Error? err
function File:sync() end

---Sets the position, and tells it.
---@param whence? "set"|"cur"|"end"    where `offset` counts from ("cur")
---@param offset? integer              (0)
---@return integer? position
---@return ahost.Error? err
function File:seek(whence, offset) end

---Cuts the file off, or fills it up with zeros. The position stays.
---@param size? integer    (0)
---@return true? ok
---@return ahost.Error? err
function File:truncate(size) end

---@return ahost.fs.Stat? stat
---@return ahost.Error? err
function File:stat() end

---Closes the file once threads are done with it; it is closed also if the wait for that
---is cancelled. Others who wait for it get code CLOSED. More than once is harmless.
---@return true? ok
---@return ahost.Error? err    of what the system could not write: code EIO, ENOSPC...
function File:close() end

return fs
