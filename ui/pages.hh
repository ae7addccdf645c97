// Serves the web pages: the controller's to operators, the gateway's to tenants, its console's to who runs it. One bundle.
// The pages hold no secret: they ask for the token or key, and send it to the routes of the server they came from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace qanat::base {
class HttpServer;
}

namespace qanat::ui {

struct Asset;

enum class Site : std::uint8_t { Controller, Gateway, Console };

// Adds `GET /` and `GET /ui/FILE`. False, and nothing added, when this program was built without the pages.
bool add_pages(base::HttpServer& server, Site site);

// What a browser may do with a page of ours: run and fetch from where it came, nothing else.
inline constexpr std::string_view kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// Does this Accept-Encoding (RFC 9110 §12.5.3) take gzip? Weights other than 0 are not compared.
bool takes_gzip(std::string_view accept_encoding) noexcept;
// Does this If-None-Match name the tag, or everything?
bool matches(std::string_view if_none_match, std::string_view etag) noexcept;
// The content of an asset, for clients that take no gzip.
std::string inflated(const Asset& asset);

}  // namespace qanat::ui
