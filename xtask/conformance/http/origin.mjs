// The suite's origin server. By itself it would listen on every interface.
import net from 'node:net'

const { listen } = net.Server.prototype
net.Server.prototype.listen = function (port) {
  return listen.call(this, Number(port), '127.0.0.1')
}

await import('http-cache-tests/server/server.mjs')
