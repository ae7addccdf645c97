// LocalApi: qanatd's HTTP interface on its Unix socket (docs/specifications/seams.md §2).
#pragma once

namespace qanat::base {
class HttpServer;
}

namespace qanat::app {

class Box;

// GET /v1/status, /v1/peers, /v1/paths[?to=NAME&tier=T], /v1/counters, /v1/events (server-sent), /metrics.
void add_routes(base::HttpServer& server, Box& box);

}  // namespace qanat::app
