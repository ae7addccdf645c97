// Two pieces make a packet, in either order; nothing else does.
#include "dataplane/forwarder/fragments.hh"

#include <gtest/gtest.h>

#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::forwarder {
namespace {

using ids::NodeId;
using packet::DropReason;
using std::chrono::milliseconds;
using test::Octets;

Octets piece(std::uint32_t id, std::size_t total, std::size_t from, std::size_t to) {
  const Octets whole = test::some_bytes(total);
  Octets out(FragmentHeader::kBytes);
  FragmentHeader{id, static_cast<std::uint16_t>(total), static_cast<std::uint16_t>(from)}.serialize(out);
  out.insert(out.end(), whole.begin() + static_cast<std::ptrdiff_t>(from),
             whole.begin() + static_cast<std::ptrdiff_t>(to));
  return out;
}

class Pieces : public ::testing::Test {
 protected:
  packet::OrDrop<std::optional<packet::MutableBytes>> add(const Octets& p, std::uint32_t from = 1,
                                                          std::uint8_t bucket = 0) {
    return reassembler.add(NodeId{from}, bucket, p, now, given_up);
  }
  Reassembler reassembler;
  base::Time now{std::chrono::seconds{10}};
  unsigned given_up = 0;
};

TEST_F(Pieces, EitherOrder) {
  for (const bool swapped : {false, true}) {
    const Octets first = piece(7, 1280, 0, 640), second = piece(7, 1280, 640, 1280);
    auto got = add(swapped ? second : first);
    ASSERT_TRUE(got.has_value() && !got->has_value());
    got = add(swapped ? first : second);
    ASSERT_TRUE(got.has_value() && got->has_value());
    EXPECT_EQ(Octets((*got)->begin(), (*got)->end()), test::some_bytes(1280));
  }
}

TEST_F(Pieces, OfOthersDoNotMix) {
  add(piece(7, 1280, 0, 640));
  EXPECT_FALSE(add(piece(8, 1280, 640, 1280))->has_value()) << "another packet";
  EXPECT_FALSE(add(piece(7, 1280, 640, 1280), 2)->has_value()) << "another sender";
  EXPECT_FALSE(add(piece(7, 1280, 640, 1280), 1, 9)->has_value()) << "another bucket";
  EXPECT_TRUE(add(piece(7, 1280, 640, 1280))->has_value());
}

TEST_F(Pieces, ThatContradictAreRefused) {
  EXPECT_EQ(add(Octets(8)).error(), DropReason::FragmentMalformed);
  EXPECT_EQ(add(piece(1, 100, 0, 100)).error(), DropReason::FragmentMalformed) << "not one of two";
  EXPECT_EQ(add(piece(1, 100, 50, 90)).error(), DropReason::FragmentMalformed) << "does not end the packet";
  EXPECT_EQ(add(piece(1, 3073, 0, 100)).error(), DropReason::FragmentMalformed) << "too large";
  add(piece(2, 100, 0, 50));
  EXPECT_EQ(add(piece(2, 100, 0, 50)).error(), DropReason::FragmentMalformed) << "the same again";
  EXPECT_EQ(add(piece(2, 100, 60, 100)).error(), DropReason::FragmentMalformed) << "a hole";
  EXPECT_EQ(add(piece(2, 101, 50, 101)).error(), DropReason::FragmentMalformed) << "another size";
  EXPECT_TRUE(add(piece(2, 100, 50, 100))->has_value()) << "a forgery spoils nothing";
}

TEST_F(Pieces, AreForgottenInTimeAndInNumber) {
  add(piece(1, 100, 0, 50));
  now += Reassembler::kPatience;
  EXPECT_FALSE(add(piece(1, 100, 50, 100))->has_value());
  EXPECT_EQ(given_up, 1u);
  for (std::uint32_t i = 0; i < 2 * Reassembler::kSlots; ++i) {
    add(piece(1000 + i, 100, 0, 50));
    now += milliseconds{1};
  }
  EXPECT_EQ(given_up, 1u + 1 + Reassembler::kSlots);
}

}  // namespace
}  // namespace qanat::forwarder
