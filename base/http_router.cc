#include "base/http_router.hh"

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace qanat::base {
namespace {

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> out;
  if (path.starts_with('/')) path.remove_prefix(1);
  while (true) {
    const std::size_t slash = path.find('/');
    out.emplace_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return out;
    path.remove_prefix(slash + 1);
  }
}

bool is_capture(std::string_view segment) { return segment.starts_with('{') && segment.ends_with('}'); }
bool is_rest(std::string_view segment) { return is_capture(segment) && segment.ends_with("...}"); }

// How each segment matched: 'c' exact, 'b' capture, 'a' rest; nullopt: no match. Greater is more specific.
std::optional<std::string> match(const HttpRoute& route, const std::vector<std::string>& path,
                                 std::vector<std::pair<std::string, std::string>>& captures) {
  std::string how;
  for (std::size_t i = 0; i < route.segments.size(); ++i) {
    const std::string_view segment = route.segments[i];
    if (is_rest(segment)) {
      std::string rest;
      for (std::size_t k = i; k < path.size(); ++k) rest += (k > i ? "/" : "") + path[k];
      captures.emplace_back(std::string{segment.substr(1, segment.size() - 5)}, std::move(rest));
      return how + 'a';
    }
    if (i >= path.size()) return std::nullopt;
    if (is_capture(segment)) {
      if (path[i].empty()) return std::nullopt;
      captures.emplace_back(std::string{segment.substr(1, segment.size() - 2)}, path[i]);
      how += 'b';
    } else if (segment == path[i]) {
      how += 'c';
    } else {
      return std::nullopt;
    }
  }
  if (route.segments.size() != path.size()) return std::nullopt;
  return how;
}

}  // namespace

void HttpRouter::add(std::string_view method, std::string_view pattern, HttpServer::Handler handler,
                     std::size_t body_bytes) {
  routes_.push_back({std::string{method}, split_path(pattern), std::move(handler), body_bytes});
}

HttpRouter::Match HttpRouter::find(std::string_view method, std::string_view raw_path) const {
  std::vector<std::string> path = split_path(raw_path);
  for (std::string& segment : path) {
    auto decoded = percent_decode(segment, false);
    if (!decoded) return {};
    segment = std::move(*decoded);
  }
  Match best;
  std::string best_how;
  for (const HttpRoute& route : routes_) {
    std::vector<std::pair<std::string, std::string>> captures;
    const auto how = match(route, path, captures);
    if (!how) continue;
    const bool fits = route.method == method || (method == "HEAD" && route.method == "GET");
    if (!fits) {
      if (best.allowed.find(route.method) == std::string::npos)
        best.allowed += (best.allowed.empty() ? "" : ", ") + route.method;
    } else if (best.route == nullptr || *how > best_how) {
      best.route = &route;
      best.captures = std::move(captures);
      best_how = *how;
    }
  }
  return best;
}

}  // namespace qanat::base
