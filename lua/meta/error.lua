---@meta ahost.error

---Error objects: what a failed call returns second. `tostring(err)` reads well
---alone: "connect 10.0.0.1:80: connection refused (ECONNREFUSED)".
local errors = {}

---@class ahost.Error
---@field code string       a name of libuv (ECONNREFUSED, ENOENT...) or one of ours:
---  TIMEDOUT CLOSED CANCELLED TOOLONG NOTFOUND CONFLICT CONFIG FAILED TLS CERTIFICATE
---  TRUNCATED
---@field message string
---@field op? string        what was tried
---@field value? any        what was raised, where that was no error object
---@field [string] any

---Makes an error object.
---@param code string
---@param message string
---@param fields? table     further fields
---@return ahost.Error
function errors.new(code, message, fields) end

---@param value any
---@param code? string      only this code
---@return boolean          whether it is an error object
function errors.is(value, code) end

return errors
