// LocalApi: qanatd's HTTP interface on its Unix socket (docs/specifications/seams.md §2).
#pragma once

namespace qanat::base {
class HttpServer;
class TraceExporter;
}  // namespace qanat::base

namespace qanat::app {

class Box;

// GET /v1/status, /v1/peers, /v1/paths[?to=NAME&tier=T], /v1/counters, /v1/events (server-sent), /metrics; POST
// /v1/crossings, whose spans go to `traces` (null: they are taken and forgotten).
void add_routes(base::HttpServer& server, Box& box, base::TraceExporter* traces);

}  // namespace qanat::app
