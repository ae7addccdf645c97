// Whatever text comes in, the parser answers; whatever it accepts has one canonical form that parses to itself.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "identifiers/c_url/binary.hh"
#include "identifiers/c_url/c_url.hh"

namespace qanat::c_url {
namespace {

void check(const std::string& text) {
  auto url = CUrl::parse(text);
  if (!url) {
    RC_ASSERT(url.error().offset <= text.size());
    RC_ASSERT(!url.error().expected.empty());
    return;
  }
  auto canonical = to_string(*url);
  auto again = CUrl::parse(canonical);
  RC_ASSERT(again.has_value());
  RC_ASSERT(*again == *url);
  RC_ASSERT(to_string(*again) == canonical);
  auto decoded = decode(encode(*url));
  RC_ASSERT(decoded.has_value());
  RC_ASSERT(*decoded == *url);
}

TEST(CUrlProperty, AnyBytesAreDecodedOrRefused) {
  EXPECT_TRUE(rc::check("any bytes after a good beginning", [](const std::string& tail) {
    const std::string bytes = std::string("\xc1", 1) + tail;
    if (auto url = decode(bytes)) RC_ASSERT(encode(*url) == bytes);
  }));
}

TEST(CUrlProperty, AnyBytesAreAnswered) {
  EXPECT_TRUE(rc::check("any bytes", [](const std::string& text) { check(text); }));
}

TEST(CUrlProperty, PiecesOfCUrlsRoundTrip) {
  EXPECT_TRUE(rc::check("pieces", [] {
    auto piece =
        rc::gen::element<std::string>("c-url://", "any", "*", ".", "gz", "cn", "/", "infer", "@", "?", "&",
                                      "=", ",", "ttft", "2s", "1.5h", "mem", "80gb", "accel", "H20", "x-team",
                                      "%20", "%2f", "%", "tier", "bulk", "within", "cards", "4", "#", "-");
    std::string text =
        *rc::gen::element<std::string>("c-url://any/infer", "c-url://*.cn/infer/m?", "c-url://");
    for (const auto& p : *rc::gen::container<std::vector<std::string>>(piece)) text += p;
    check(text);
  }));
}

}  // namespace
}  // namespace qanat::c_url
