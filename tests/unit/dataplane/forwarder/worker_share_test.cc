// How a box's workers divide the buckets, and the sequence spaces they seal in.
#include <gtest/gtest.h>

#include <map>

#include "dataplane/forwarder/message.hh"

namespace qanat::forwarder {
namespace {

TEST(WorkerShare, EveryBucketHasOneOwner) {
  for (const unsigned count : {1u, 2u, 4u, 8u, 16u})
    for (unsigned bucket = 0; bucket < 256; ++bucket) {
      unsigned owners = 0;
      for (unsigned i = 0; i < count; ++i)
        owners += WorkerShare{i, count}.owns(static_cast<std::uint8_t>(bucket));
      EXPECT_EQ(owners, 1u) << bucket << " of " << count;
    }
}

// A nonce is (space, counter) and each worker counts for itself: two in one space would seal two packets by one nonce.
TEST(WorkerShare, NoTwoWorkersSealInOneSpace) {
  for (const unsigned count : {1u, 2u, 4u, 8u, 16u}) {
    std::map<unsigned, unsigned> worker_of_group;
    for (unsigned bucket = 0; bucket < 256; ++bucket) {
      const auto b = static_cast<std::uint8_t>(bucket);
      const unsigned owner = WorkerShare{0, count}.owner(b);
      const auto [at, first] = worker_of_group.emplace(group_of(b), owner);
      EXPECT_EQ(at->second, owner) << "bucket " << bucket << " of " << count << " workers";
    }
  }
}

TEST(WorkerShare, CountsThatDivideTheGroups) {
  for (const unsigned count : {1u, 2u, 4u, 8u, 16u}) EXPECT_TRUE(valid_worker_count(count));
  for (const unsigned count : {0u, 3u, 5u, 12u, 17u, 32u}) EXPECT_FALSE(valid_worker_count(count));
}

}  // namespace
}  // namespace qanat::forwarder
