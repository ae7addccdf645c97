// Tokens are counted the same way by whoever writes text and whoever reads it.
#include "gateway/pool/tokenizer.hh"

#include <gtest/gtest.h>

#include <random>

namespace qanat::pool {
namespace {

TEST(Tokenizer, CutsAsDocumented) {
  EXPECT_EQ(count_tokens(""), 0u);
  EXPECT_EQ(count_tokens("water"), 1u);
  EXPECT_EQ(count_tokens("water flows"), 2u);
  EXPECT_EQ(count_tokens("underground"), 2u);  // six letters, five letters
  EXPECT_EQ(count_tokens("a  b"), 3u);         // the lone space is one
  EXPECT_EQ(count_tokens("yes, no."), 4u);
  EXPECT_EQ(count_tokens("算力网络"), 4u);
  EXPECT_EQ(count_tokens("\xf0\x9f\x92\xa7"), 1u);  // one character of four bytes
  EXPECT_EQ(count_tokens("\xff\xfe"), 2u);          // bytes that begin no character
  EXPECT_EQ(count_tokens("\xe7\xae"), 2u);          // a character cut short
}

TEST(Tokenizer, WordStreamsHaveTheirLength) {
  for (std::uint64_t seed = 0; seed < 50; ++seed)
    for (std::uint64_t n : {1, 2, 17, 400}) EXPECT_EQ(count_tokens(words(seed, n)), n);
  EXPECT_EQ(words(5, 30), words(5, 30));
  EXPECT_NE(words(5, 30), words(6, 30));
}

TEST(Tokenizer, TotalOnAnyBytes) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random() % 40, 0);
    for (auto& b : bytes) b = static_cast<char>(random());
    std::string_view rest = bytes;
    while (!rest.empty()) {
      const auto n = token_length(rest);
      ASSERT_GE(n, 1u);
      ASSERT_LE(n, rest.size());
      rest.remove_prefix(n);
    }
  }
}

}  // namespace
}  // namespace qanat::pool
