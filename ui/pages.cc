#include "ui/pages.hh"

#include <zlib.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>

#include "base/http_server.hh"
#include "ui/bundle.hh"

namespace qanat::ui {
namespace {

using Answer = boost::asio::awaitable<void>;

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  return begin == text.npos ? std::string_view()
                            : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// Calls `fits` with each member of a comma-separated list until one does.
template <class Fits>
bool any_of_list(std::string_view list, Fits fits) {
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    if (fits(trimmed(list.substr(0, comma)))) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

const Asset* find(std::string_view name) {
  const auto all = bundle();
  const auto at = std::find_if(all.begin(), all.end(), [&](const Asset& a) { return a.name == name; });
  return at == all.end() ? nullptr : &*at;
}

Answer serve(const Asset& asset, base::Request& in, base::Responder& out) {
  const bool page = asset.name.ends_with(".html");
  out.set_header("etag", std::string(asset.etag));
  // Scripts and styles carry a digest of their content in their names.
  const bool lasting = asset.name.ends_with(".js") || asset.name.ends_with(".css");
  out.set_header("cache-control", lasting ? "public, max-age=31536000, immutable" : "no-cache");
  out.set_header("vary", "accept-encoding");
  out.set_header("x-content-type-options", "nosniff");
  if (page) {
    out.set_header("content-security-policy", std::string(kContentSecurityPolicy));
    out.set_header("referrer-policy", "no-referrer");
  }
  const std::string* known = in.headers.find("if-none-match");
  if (known && matches(*known, asset.etag)) co_return void(co_await out.send(304, asset.content_type, {}));
  const std::string* accepted = in.headers.find("accept-encoding");
  std::string body;
  if (accepted && takes_gzip(*accepted)) {
    out.set_header("content-encoding", "gzip");
    body = std::string(asset.gzip);
  } else {
    body = inflated(asset);
  }
  co_await out.send(200, asset.content_type, std::move(body));
}

}  // namespace

bool takes_gzip(std::string_view accept_encoding) noexcept {
  return any_of_list(accept_encoding, [](std::string_view coding) {
    const auto semicolon = std::min(coding.find(';'), coding.size());
    const std::string_view name = trimmed(coding.substr(0, semicolon));
    if (name != "gzip" && name != "x-gzip" && name != "*") return false;
    const std::string_view weight = trimmed(coding.substr(std::min(semicolon + 1, coding.size())));
    return !(weight.starts_with("q=0") && weight.find_first_of("123456789", 3) == weight.npos);
  });
}

bool matches(std::string_view if_none_match, std::string_view etag) noexcept {
  return any_of_list(if_none_match, [&](std::string_view tag) {
    if (tag.starts_with("W/")) tag.remove_prefix(2);
    return tag == "*" || tag == etag;
  });
}

std::string inflated(const Asset& asset) {
  std::string out(asset.size, '\0');
  z_stream stream{};
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) return {};  // 16: a gzip header
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(asset.gzip.data()));
  stream.avail_in = static_cast<uInt>(asset.gzip.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int end = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  return end == Z_STREAM_END ? out : std::string();
}

bool add_pages(base::HttpServer& server, Site site) {
  const Asset* page = find(site == Site::Controller ? "operator.html"
                           : site == Site::Gateway  ? "tenant.html"
                                                    : "console.html");
  if (!page) return false;
  server.route("GET", "/", [page](base::Request& in, base::Responder& out) { return serve(*page, in, out); });
  server.route("GET", "/ui/{file}", [](base::Request& in, base::Responder& out) -> Answer {
    const Asset* asset = find(in.capture("file"));
    if (asset) co_return co_await serve(*asset, in, out);
    co_await out.error(404, "not_found", "the pages have no such file", "GET / is where they begin");
  });
  return true;
}

}  // namespace qanat::ui
