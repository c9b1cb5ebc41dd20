---@meta ahost.context

---Lifetimes: a context owns tasks, open handles, teardown callbacks and resources,
---and ends them together.
---@class ahost.context
local context = {}

---Names that are not listed here are data attributes: any other field that is
---assigned on a context can be read there and in its children; reading one that
---nobody has set gives nil. Equal (`==`) for the same context; closable.
---@class ahost.Context
---@field parent? ahost.Context        nil for the root
---@field published ahost.Signal       tells of what is published in this context, not
---  above it; `event.key` is the short form of the key. Raises once it is closed
---@field [any] any
local Context = {}

---@class ahost.ContextOptions
---@field on_error? "fail"|"log"   what a failure of a task in it does: end the context
---  and go to its owner (the default), or be logged and end only the task

---The context in which code that runs now spawns, opens and publishes: that of the
---innermost scope, else the task's, else the root.
---@return ahost.Context
function context.current() end

---Makes a context below `parent` (the current one); it is closed with it at the
---latest. Does not wait. Raises when the parent is closed.
---@param parent? ahost.Context
---@return ahost.Context
function context.new(parent) end

---Calls `fn(ctx, ...)` in a new child of the current context, waits for the tasks
---spawned in it, closes it and returns what `fn` returned. The first failure of a
---task cancels the others and `fn`, and is raised. Only in a task.
---@param options ahost.ContextOptions
---@param fn fun(ctx: ahost.Context, ...): ...
---@param ... any
---@return any ...            what `fn` returned; `nil, err` (code CLOSED) when another
---  task closed the context
---@overload fun(fn: fun(ctx: ahost.Context, ...): ..., ...): ...
function context.scope(options, fn, ...) end

---Starts a task in the context; it runs in its turn. Raises when it is closed.
---@param name string       for logs and reports; may be left out
---@param fn function
---@param ... any            arguments of `fn`
---@return ahost.Task
---@overload fun(self: ahost.Context, fn: function, ...): ahost.Task
function Context:spawn(name, fn, ...) end

---Has `fn` called when the context closes, after its tasks have ended: newest
---first, one at a time, all even if some raise. May be called until the context
---is closed; raises then.
---@param fn fun(err: any)   gets the reason given to `close`; may wait
function Context:on_close(fn) end

---Closes the context: its children first, then its tasks are cancelled and waited
---for, the callbacks are called, and what it still owns is closed. Waits; only in
---a task. Does nothing when it is closed already.
---@param err? any            why: the failure of a scope, given to the callbacks
---@return true? ok
---@return ahost.Error? err   code FAILED; `err.errors` lists what callbacks raised
function Context:close(err) end

---Makes a context below this one. Raises when this one is closed.
---@param options? ahost.ContextOptions
---@return ahost.Context
function Context:child(options) end

---@return "open"|"closing"|"closed"
function Context:state() end

---@class ahost.PublishOptions
---@field types? string[]   further keys for the same; one without a name gets the
---  name of the main key
---@field attr? string      a data attribute of the context that is to be the same
---@field doc? string       what it is, for people

---Publishes a value in the context, for it and all below it, and wakes those who
---have requested it. A key is "type" or "type/name" ("mailer" is "mailer/default"):
---types are words of letters, digits and underscores, with dots between them, a
---name is one word. Does not wait. Raises CONFLICT (`err.key`) when a key or the
---attribute is taken in this context, and changes nothing then; raises for a bad
---key and when the context is closed.
---@param key string
---@param value any            not nil
---@param options? ahost.PublishOptions
function Context:publish(key, value, options) end

---Publishes what `factory(ctx)` returns; it is called once for each context through
---which the resource is looked up, with that context, to which the value and what
---the factory opens belong. Others that want the same meanwhile wait. When it
---raises or returns nil, the one who asked gets the error and the next one calls it
---again. Otherwise like `publish`.
---@param key string
---@param factory fun(ctx: ahost.Context): any   may wait
---@param options? ahost.PublishOptions
function Context:publish_lazy(key, factory, options) end

---The resource with this key that was published in this context or in the nearest
---above it, or nil. Waits only for the factory of a lazy one, raises what that
---raises. Raises for a bad key and when the context is closed.
---@param key string
---@return any value
function Context:get(key) end

---Like `get`, but raises NOTFOUND (`err.key`) when there is no such resource.
---@param key string
---@return any value
function Context:require(key) end

---Like `get`, but waits until somebody has published the resource.
---@param key string
---@param timeout? number      seconds to wait for the publication; the time that a
---  factory takes is not counted
---@return any value
---@return ahost.Error? err    code TIMEDOUT, or CLOSED when the context has ended;
---  `err.key`
function Context:request(key, timeout) end

---A reference that follows the resource: it is looked up at each use.
---@param key string
---@return ahost.Ref
function Context:ref(key) end

---@class ahost.Ref
local Ref = {}

---What `ctx:require` of the key returns now; raises like it.
---@return any value
function Ref:get() end

---What `ctx:get` of the key returns now.
---@return any? value
function Ref:peek() end

---@class ahost.ResourceInfo
---@field key string              the key that it was published with, in its short form
---@field types string[]          the types of all its keys
---@field doc? string
---@field owner ahost.Context     where it was published
---@field lazy boolean            made by a factory

---The resources that the context can see, sorted by key. Calls no factory.
---@param type? string   only those that have this type
---@return ahost.ResourceInfo[]
function Context:resources(type) end

return context
