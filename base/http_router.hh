// HttpRouter: which handler a method and a path belong to. No I/O; under HttpServer.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/http_server.hh"

namespace qanat::base {

struct HttpRoute {
  std::string method;
  std::vector<std::string> segments;  // "v1", "{name}", "{rest...}"
  HttpServer::Handler handler;
  std::size_t body_bytes = 0;
};

class HttpRouter {
 public:
  struct Match {
    const HttpRoute* route = nullptr;
    std::vector<std::pair<std::string, std::string>> captures;
    std::string allowed;  // methods that this path does have, when `route` is null: then 405 rather than 404
  };

  void add(std::string_view method, std::string_view pattern, HttpServer::Handler handler,
           std::size_t body_bytes);
  // raw_path as in the request line, without the query. HEAD falls back to GET. An exact segment wins over a capture,
  // a capture over the rest.
  Match find(std::string_view method, std::string_view raw_path) const;

 private:
  std::vector<HttpRoute> routes_;
};

}  // namespace qanat::base
