-- What specs of TLS need: certificates of an authority of their own, made by the
-- command `openssl` in a temporary directory, once for a file of specs.

local subprocess <const> = require "spec.subprocess"

local certificates <const> = {}

-- The authority; servers; one that has expired, one that no authority has signed, one
-- by an authority that nobody trusts, and a client.
local SCRIPT <const> = [[
set -e
cd "$1"
: >index.txt
cat >ca.cnf <<END
[ca]
default_ca = it
[it]
database = $1/index.txt
new_certs_dir = $1
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
END
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
authority() {
  key "$1"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$2" -days 30 -out "$1.crt"
}
# issue NAME COMMON-NAME ALT-NAMES AUTHORITY START END
issue() {
  key "$1"
  openssl req -new -key "$1.key" -subj "/CN=$2" -addext "subjectAltName=$3" -out "$1.csr"
  openssl ca -batch -notext -config ca.cnf -cert "$4.crt" -keyfile "$4.key" \
    -startdate "$5" -enddate "$6" -in "$1.csr" -out "$1.crt"
}
authority ca "Spec Authority"
authority other "Other Authority"
issue server localhost "DNS:localhost,IP:127.0.0.1" ca 20200101000000Z 20480101000000Z
issue renewed renewed "DNS:localhost,IP:127.0.0.1" ca 20200101000000Z 20480101000000Z
issue a a.test "DNS:a.test" ca 20200101000000Z 20480101000000Z
issue wild wild "DNS:*.wild.test" ca 20200101000000Z 20480101000000Z
issue expired expired "DNS:localhost,IP:127.0.0.1" ca 20200101000000Z 20210101000000Z
issue future future "DNS:localhost,IP:127.0.0.1" ca 20470101000000Z 20480101000000Z
issue foreign foreign "DNS:localhost,IP:127.0.0.1" other 20200101000000Z 20480101000000Z
issue client "Spec Client" "email:client@a.test" ca 20200101000000Z 20480101000000Z
key self
openssl req -x509 -new -key self.key -subj /CN=self -days 30 \
  -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -out self.crt
openssl pkey -in server.key -aes256 -passout pass:secret -out locked.key
]]

--- Whether this build has TLS.
function certificates.has_tls()
  local tls = require "ahost.tls"
  return (require("ahost.loadable").open("tls", tls.needs)) ~= nil
end

--- What stands for `describe` where TLS is needed: without it, it says so.
---@param describe fun(name: string, fn: fun())    busted's
---@param pending fun(name: string)                busted's
---@return fun(name: string, fn: fun())
function certificates.describer(describe, pending)
  if certificates.has_tls() then return describe end
  return function(name)
    pending(name .. " is not tested: ahost was built without OpenSSL")
  end
end

local directory

--- The directory of the certificates: NAME.crt and NAME.key for ca, other, server,
--- renewed, a, wild, expired, future, foreign, client and self; locked.key.
---@return string path
function certificates.make()
  if directory then return directory end
  local remove
  directory, remove = subprocess.directory()
  certificates.remove = function()
    directory = nil
    remove()
  end
  subprocess.write(directory .. "/make.sh", SCRIPT)
  local ok = os.execute(("sh %s/make.sh %s >%s/log 2>&1"):format(directory, directory,
    directory))
  if not ok then
    local log <close> = assert(io.open(directory .. "/log"))
    error("no certificates:\n" .. log:read("a"):sub(-2000))
  end
  return directory
end

return certificates
