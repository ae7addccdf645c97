// Hex, base64, percent-encoding, addresses, error bodies, routes: text in, values out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/errc.hh"
#include "base/hex.hh"
#include "base/http_message.hh"
#include "base/http_router.hh"

namespace qanat::base {
namespace {
using Bytes = std::vector<std::uint8_t>;

// RFC 4648 §10.
TEST(Base64, Vectors) {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    const Bytes bytes{plain.begin(), plain.end()};
    EXPECT_EQ(to_base64(bytes), encoded);
    EXPECT_EQ(*from_base64(encoded), bytes);
    EXPECT_EQ(*from_base64(to_base64url(bytes)), bytes);
  }
  const Bytes high{0xfb, 0xff, 0xfe};
  EXPECT_EQ(to_base64url(high), "-__-");
  EXPECT_EQ(*from_base64("-__-"), high);
  for (const char* bad : {"Z", "Zg=", "Zg===", "Zm9v=", "Zm 9", "Zm9v\n", "====", "Z*=="})
    EXPECT_FALSE(from_base64(bad).has_value()) << bad;
}

TEST(Hex, BothWays) {
  EXPECT_EQ(to_hex(Bytes{0, 0xab, 0xff}), "00abff");
  EXPECT_EQ(*from_hex("00ABff"), (Bytes{0, 0xab, 0xff}));
  for (const char* bad : {"0", "0g", "0x00"}) EXPECT_EQ(from_hex(bad).error(), Errc::BadHex) << bad;
}

TEST(Percent, BothWaysAndBrokenEscapes) {
  EXPECT_EQ(percent_encode("c-url://*.cn/x?a=1 b"), "c-url%3A%2F%2F%2A.cn%2Fx%3Fa%3D1%20b");
  EXPECT_EQ(percent_decode("a%2fb+c", false), "a/b+c");
  EXPECT_EQ(percent_decode("a+b", true), "a b");
  for (const char* bad : {"%", "%4", "%zz", "a%2"})
    EXPECT_EQ(percent_decode(bad, false), std::nullopt) << bad;
  EXPECT_EQ(query_parameter("a=1&b=x%26y&c", "b"), "x&y");
  EXPECT_EQ(query_parameter("a=1&b=x%26y&c", "c"), "");
  EXPECT_EQ(query_parameter("a=1", "d"), std::nullopt);
}

TEST(Addresses, HostAndPort) {
  EXPECT_EQ(split_address("127.0.0.1:80"), (std::pair<std::string, std::uint16_t>{"127.0.0.1", 80}));
  EXPECT_EQ(split_address("[::1]:0"), (std::pair<std::string, std::uint16_t>{"::1", 0}));
  for (const char* bad : {"", ":", "host", "host:", "host:70000", "::1:80", "host:8o"})
    EXPECT_EQ(split_address(bad), std::nullopt) << bad;
}

TEST(Headers, AreComparedWithoutCase) {
  Headers headers{{"Content-Type", "a"}, {"x", "1"}};
  headers.add("CONTENT-TYPE", "b");
  EXPECT_EQ(*headers.find("content-type"), "a");
  headers.set("content-type", "c");
  EXPECT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers.value_or("absent", "-"), "-");
}

TEST(ErrorBody, IsTheAgreedJson) {
  EXPECT_EQ(
      error_body("not_found", "no \"x\"", ""),
      R"({"error":{"code":"not_found","message":"no \"x\"","type":"invalid_request_error","param":null}})");
  EXPECT_EQ(
      error_body("internal_error", "b", "c"),
      R"({"error":{"code":"internal_error","message":"b","type":"server_error","param":null,"hint":"c"}})");
  EXPECT_NO_THROW(error_body("a", "\xff\xfe", ""));  // bytes that are no UTF-8 are replaced
}

struct Routes : testing::Test {
  HttpRouter router;
  Routes() {
    for (const char* pattern :
         {"/", "/v1/nodes", "/v1/nodes/{name}", "/v1/nodes/self", "/ui/{rest...}", "/ui/index"})
      router.add("GET", pattern, nullptr, 0);
    router.add("DELETE", "/v1/nodes/{name}", nullptr, 0);
  }
  std::string found(std::string_view method, std::string_view path) {
    const auto match = router.find(method, path);
    if (match.route == nullptr) return match.allowed.empty() ? "none" : "only " + match.allowed;
    std::string out;
    for (const auto& segment : match.route->segments) out += "/" + segment;
    for (const auto& [name, value] : match.captures) out += " " + name + "=" + value;
    return out;
  }
};

TEST_F(Routes, TheMostSpecificWins) {
  EXPECT_EQ(found("GET", "/"), "/");
  EXPECT_EQ(found("GET", "/v1/nodes"), "/v1/nodes");
  EXPECT_EQ(found("GET", "/v1/nodes/city"), "/v1/nodes/{name} name=city");
  EXPECT_EQ(found("GET", "/v1/nodes/self"), "/v1/nodes/self");
  EXPECT_EQ(found("GET", "/v1/nodes/a%2Fb"), "/v1/nodes/{name} name=a/b");
  EXPECT_EQ(found("HEAD", "/v1/nodes"), "/v1/nodes");
  EXPECT_EQ(found("GET", "/ui/index"), "/ui/index");
  EXPECT_EQ(found("GET", "/ui/a/b.js"), "/ui/{rest...} rest=a/b.js");
}

TEST_F(Routes, SaysWhatIsMissing) {
  EXPECT_EQ(found("GET", "/v1"), "none");
  EXPECT_EQ(found("GET", "/v1/nodes/"), "none");
  EXPECT_EQ(found("GET", "/v1/nodes/%zz"), "none");
  EXPECT_EQ(found("PUT", "/v1/nodes/city"), "only GET, DELETE");
}

}  // namespace
}  // namespace qanat::base
