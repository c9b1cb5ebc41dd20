---@meta ahost.bus

---Publish and subscribe by the names of messages.
local bus = {}

---Messages of one bus never reach another.
---@class ahost.Bus
local Bus = {}

---@alias ahost.BusListener fun(message: string, ...: any)

---A bounded queue of messages, of one bus or several. It hears messages also
---while nobody waits for one, and ends with the context in which it was made, when
---it is closed, or when the program has forgotten it. Closable. As an iterator
---(`messages`) it is called for the next message, which waits.
---@class ahost.Subscriber
---@field dropped integer   messages that came while `max` others were waiting
---@operator call: string?
local Subscriber = {}

---@class ahost.SubscriberOptions
---@field max? integer   how many messages may wait (100); when there are as many,
---  new ones are dropped and counted

---Makes a bus.
---@param send? fun(message: string, ...: any): boolean   called, in place of
---  `publish_later`, for what is broadcast; may not wait
---@return ahost.Bus
function bus.new(send) end

---Has `fn` called with each such message that is published from now on, in a task
---of its own in the current context, with which the subscription ends. To
---subscribe the same function to the same message in the same context again
---changes nothing; in another context it is another subscription. Does not wait.
---Raises in a closed context.
---@param message string
---@param fn ahost.BusListener   may wait; what it raises is logged by `ahost.bus`
function Bus:subscribe(message, fn) end

---Ends a subscription of the function: that of the current context, or else the
---oldest one. Who is unsubscribed while a message is delivered and has not had
---its turn is not called any more. Does not wait.
---@param message string
---@param fn ahost.BusListener
---@return boolean   whether there was one
function Bus:unsubscribe(message, fn) end

---Delivers a message before it returns: puts it into the queues of subscribers,
---then calls the functions that are subscribed now, in the order of their
---subscriptions, and returns when each has run up to its first await. May be called
---anywhere. In publishes nested deeply the functions run in their turn instead.
---@param message string
---@param ... any   passed on to the functions
function Bus:publish(message, ...) end

---Publishes a message on the next turn of the loop, in order with others so
---published; also when the current context has ended by then, but not when the
---host has. Does not wait. A host does not end while such messages are due.
---@param message string
---@param ... any
function Bus:publish_later(message, ...) end

---Publishes a message in all workers (`workers:` of the configuration), this one
---included, by the bus of the application; without workers, and by any other bus, the
---same as `publish_later`. All workers get the messages in the same order. Does not
---wait. A worker that takes none for a second loses those beyond 1000, and this is
---logged; one that is just starting may not hear of them.
---@param message string
---@param ... any   plain values, which are copied: nil, booleans, numbers, strings, and
---  tables that JSON can hold, of 1 MiB together; raises for others in a worker
---@return boolean sent   false when 1000 wait to be sent already, or the worker ends
function Bus:broadcast(message, ...) end

---Publishes a message and waits until every function has ended.
---@param message string
---@param ... any
---@return true? ok
---@return ahost.Error? err   code FAILED; `err.errors` lists what the functions
---  raised, in the order of their subscriptions (CANCELLED for a cancelled one)
function Bus:publish_wait(message, ...) end

---Makes a queue of messages from now on; the last argument may be a table of
---options. Does not wait. Raises in a closed context.
---@param message string
---@param ... string|ahost.SubscriberOptions   more messages
---@return ahost.Subscriber
function Bus:subscriber(message, ...) end

---Waits for the next message.
---@param timeout? number   seconds
---@return string? message
---@return any ...   what was published with it; err when there is no message: code
---  TIMEDOUT, or CLOSED when the subscriber has ended and its queue is empty
function Subscriber:message(timeout) end

---For loops: `for message, ... in sub:messages() do`. The loop ends when the
---subscriber has been closed; leaving the loop closes it.
---@return ahost.Subscriber iterator
---@return nil
---@return nil
---@return ahost.Subscriber closing
function Subscriber:messages() end

---Hears more messages, of this bus or another. Does not wait. Raises when closed.
---@param of ahost.Bus
---@param message string
---@param ... string   more messages
function Subscriber:subscribe(of, message, ...) end

---Hears nothing more and forgets the messages that wait; tasks that wait for one
---get nil, CLOSED. Does not wait; harmless when repeated.
function Subscriber:close() end

return bus
