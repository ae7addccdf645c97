// The binary form and the addresses of services: golden bytes, and what is refused.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "identifiers/c_url/binary.hh"
#include "identifiers/c_url/c_url.hh"
#include "identifiers/c_url/service_address.hh"

namespace qanat::c_url {
namespace {

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

std::string bytes_of(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  return out;
}

BinaryErrc refused(const std::string& text) {
  auto url = decode(bytes_of(text));
  EXPECT_FALSE(url) << text;
  return url ? BinaryErrc{} : url.error();
}

TEST(Binary, FormsAreGoldenAndRoundTrip) {
  std::ifstream file("tests/golden/c_url/binary.tsv");
  ASSERT_TRUE(file);
  std::size_t rows = 0;
  for (std::string text, form; std::getline(file, text, '\t') && std::getline(file, form); ++rows) {
    auto url = CUrl::parse(text);
    ASSERT_TRUE(url) << text;
    EXPECT_EQ(hex(encode(*url)), form) << text;
    auto again = decode(bytes_of(form));
    ASSERT_TRUE(again) << text << ": " << to_string(again.error());
    EXPECT_EQ(*again, *url);
  }
  EXPECT_GE(rows, 8u);
}

TEST(Binary, EveryCutIsTruncated) {
  const std::string whole =
      encode(*CUrl::parse("c-url://pml@*.cn/infer/m@1?accel=d,h20&mem=80gb&tier=bulk&x-a=B"));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto url = decode(std::string_view(whole).substr(0, size));
    ASSERT_FALSE(url) << size;
    EXPECT_EQ(url.error(), BinaryErrc::Truncated) << size;
  }
}

// c100 00 05"infer" 00 is c-url://any/infer.
TEST(Binary, OnlyTheOneFormIsTaken) {
  ASSERT_TRUE(decode(bytes_of("c1000005696e66657200")));
  EXPECT_EQ(refused("c2000005696e66657200"), BinaryErrc::WrongVersion);
  EXPECT_EQ(refused("c1080005696e66657200"), BinaryErrc::NotCanonical) << "a reserved bit";
  EXPECT_EQ(refused("c1000005696e6665720000"), BinaryErrc::NotCanonical) << "a byte too many";
  EXPECT_EQ(refused("c1008000"
                    "05696e66657200"),
            BinaryErrc::NotCanonical)
      << "a longer zero";
  EXPECT_EQ(refused("c1000005494e46455200"), BinaryErrc::NotCanonical) << "upper case";
  EXPECT_EQ(refused("c100010361"
                    "6e7905696e66657200"),
            BinaryErrc::NotCanonical)
      << "the label any";
  EXPECT_EQ(refused("c1000005696e666572"
                    "01ff00"),
            BinaryErrc::UnknownKey);
  EXPECT_EQ(refused("c1000005696e666572"
                    "010d07"),
            BinaryErrc::NotCanonical)
      << "no such choice";
  EXPECT_EQ(refused("c1000005696e666572"
                    "0200"
                    "03782d62016100"
                    "03782d610161"),
            BinaryErrc::NotCanonical)
      << "keys out of order";
  EXPECT_EQ(refused("c1000005696e666572"
                    "010400"),
            BinaryErrc::NotCanonical)
      << "zero cards";
}

TEST(ServiceAddress, IsStableAndLeavesTheQueryOut) {
  const CUrl url = *CUrl::parse("c-url://any/infer/deepseek-r1-distill-qwen-32b");
  EXPECT_EQ(to_string(service_sid(url)), "fd51:4355:0:bee5:35e7:13e5:3ea6:0");
  EXPECT_EQ(to_string(service_ipv4(url)), "100.126.229.53");
  EXPECT_NE(service_ipv4(url, 1), service_ipv4(url));
  const CUrl bulk = *CUrl::parse("c-url://any/infer/deepseek-r1-distill-qwen-32b?tier=bulk&cards=4");
  Ipv6Bytes expected = service_sid(url);
  expected[15] = 3;  // 1 + bulk
  EXPECT_EQ(service_sid(bulk), expected);
  EXPECT_NE(service_sid(*CUrl::parse("c-url://any/finetune/deepseek-r1-distill-qwen-32b")), service_sid(url));
  EXPECT_EQ(to_string(service_ipv4(url, 0, {127, 64, 0, 0})).substr(0, 4), "127.");
}

}  // namespace
}  // namespace qanat::c_url
