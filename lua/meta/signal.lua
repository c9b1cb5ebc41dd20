---@meta ahost.signal

---What other code can listen to. A signal does not keep its source alive.
---@class ahost.signal
local signal = {}

---What `emit` hands to listeners: the table given to it with these fields set.
---@class ahost.Event
---@field source any      what the signal was made for; nil once it is collected
---@field topic? string   the signal's topic
---@field time number     when it was emitted: seconds since the epoch
---@field [string] any

---@alias ahost.Listener fun(event: ahost.Event)
---@alias ahost.EventFilter fun(event: ahost.Event): any

---@class ahost.Signal
local Signal = {}

---A function connected to a signal. It ends with the context in which it was
---connected; closable.
---@class ahost.Connection
local Connection = {}

---Disconnects the listener. Does not wait; harmless when repeated.
function Connection:close() end

---An iterator of events, to be called for the next one: `for event in events`.
---Calling it waits; it returns nil when the iterator has been closed, and raises
---what the filter raised. It ends with the context in which it was made; closable.
---@class ahost.Events
---@field dropped integer   events that came while `max` others were waiting
---@operator call: ahost.Event?
local Events = {}

---Stops listening and forgets the events that wait; tasks that wait for one get
---nil. Does not wait; harmless when repeated.
function Events:close() end

---@class ahost.EventsOptions
---@field filter? ahost.EventFilter   only events for which it returns a true value
---  are heard; called when the event is emitted; may not wait
---@field max? integer                how many events may wait (100); when there are
---  as many, new ones are dropped and counted

---Makes a signal. Both arguments may be left out.
---@param topic? string   the `topic` of its events
---@param source? any     the `source` of its events, held weakly
---@return ahost.Signal
function signal.new(topic, source) end

---Waits for the first event of any of the signals; see `Signal:wait`.
---@param signals ahost.Signal[]
---@param filter? ahost.EventFilter
---@param timeout? number   seconds
---@return ahost.Event? event
---@return ahost.Error? err
---@overload fun(signals: ahost.Signal[], timeout?: number): ahost.Event?, ahost.Error?
function signal.wait(signals, filter, timeout) end

---An iterator of the events of all the signals; see `Signal:events`.
---@param signals ahost.Signal[]
---@param options? ahost.EventsOptions
---@return ahost.Events events
function signal.events(signals, options) end

---Has `fn` called with each event from the next one on, in a task of its own in
---the current context, with which the connection ends. A function is connected
---once: another time returns the connection that there is. Does not wait. Raises
---in a closed context.
---@param fn ahost.Listener   may wait; what it raises is logged by `ahost.signal`
---@return ahost.Connection
function Signal:connect(fn) end

---Ends a connection; one that there is not is ignored. Does not wait.
---@param listener ahost.Listener|ahost.Connection
function Signal:disconnect(listener) end

---Tells all who listen. Sets `source`, `topic` and `time` of the event, then calls
---the listeners that are connected now, in the order of their connection, and
---returns when each has run up to its first await. May be called anywhere. In
---emits nested deeply the listeners run in their turn instead.
---@param event? table   a new one if left out
function Signal:emit(event) end

---Emits an event and waits until every listener has ended.
---@param event? table
---@return true? ok
---@return ahost.Error? err   code FAILED; `err.errors` lists what the listeners
---  raised, in the order of their connection (CANCELLED for a cancelled one)
function Signal:emit_wait(event) end

---Waits for the next event. Raises what the filter raises.
---@param filter? ahost.EventFilter   only an event for which it returns a true value
---  is taken; called when the event is emitted; may not wait
---@param timeout? number             seconds
---@return ahost.Event? event
---@return ahost.Error? err           code TIMEDOUT
---@overload fun(self: ahost.Signal, timeout?: number): ahost.Event?, ahost.Error?
function Signal:wait(filter, timeout) end

---An iterator of the events from now on. Listens at once, also while nobody asks.
---@param options? ahost.EventsOptions
---@return ahost.Events events   and as fourth value, which closes the iterator when
---  a loop over `sig:events()` is left
function Signal:events(options) end

return signal
