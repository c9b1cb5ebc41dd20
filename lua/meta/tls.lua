---@meta ahost.tls

--- ahost.tls: what TLS connections are made with. Its functions are annotated in
--- lua/ahost/tls.lua; the methods of streams, `starttls` and `tls`, with the others of
--- streams in lua/meta/net.lua.
---
--- TLS needs OpenSSL 3. Where ahost was built without it, or cannot load it, whatever
--- needs TLS gives code NOTFOUND and says what to install.
local tls = {}

return tls
