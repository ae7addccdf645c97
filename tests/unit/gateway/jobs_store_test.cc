// The artefact store on a real folder: deduplication, quota, resumption, and what a crash or a bad disk leaves.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gateway/jobs/artefact/chunk_store.hh"
#include "gateway/jobs/contract/site_book.hh"

namespace qanat::jobs {
namespace {

namespace fs = std::filesystem;

class Store : public testing::Test {
 protected:
  Store() : folder_(fs::temp_directory_path() / ("qanat-store-" + std::to_string(::getpid()))) {
    fs::remove_all(folder_);
  }
  ~Store() override { fs::remove_all(folder_); }
  ChunkStore open(std::uint64_t quota = 100'000'000) const { return {folder_.string(), quota}; }
  static std::string bytes(std::size_t size, char seed) {
    std::string text(size, seed);
    for (std::size_t i = 0; i + 1 < size; i += 4096) {
      text[i] = static_cast<char>(i >> 12);
      text[i + 1] = static_cast<char>(i >> 20);
    }
    return text;
  }
  static void put(ChunkStore& store, const std::string& text) {
    const Manifest m = manifest_of(text);
    const auto missing = store.begin(artefact_id(m), m);
    ASSERT_TRUE(missing);
    for (const std::size_t n : *missing)
      ASSERT_TRUE(
          store.put(artefact_id(m), n, std::string_view(text).substr(n * kChunkBytes, m.bytes_of(n))));
  }
  fs::path folder_;
};

TEST_F(Store, GoesOnAfterARestartWithWhatIsMissing) {
  const std::string text = bytes(3 * kChunkBytes + 9, 'a');
  const Manifest m = manifest_of(text);
  const Digest id = artefact_id(m);
  {
    ChunkStore store = open();
    EXPECT_EQ(store.begin(id, m)->size(), 4u);
    EXPECT_EQ(store.put(id, 1, "not these bytes").error(), Errc::BadDigest);
    ASSERT_TRUE(store.put(id, 1, std::string_view(text).substr(kChunkBytes, kChunkBytes)));
  }
  ChunkStore store = open();
  EXPECT_EQ(*store.missing(id), (std::vector<std::size_t>{0, 2, 3}));
  EXPECT_EQ(*store.missing_bytes(id), 2 * kChunkBytes + 9);
  EXPECT_EQ(store.get(id, 0).error(), Errc::ChunksMissing);
  EXPECT_EQ(store.get(id, 9).error(), Errc::NoSuchArtefact);
  put(store, text);
  EXPECT_TRUE(store.complete(id));
  EXPECT_EQ(*store.get(id, 3), text.substr(3 * kChunkBytes));
}

TEST_F(Store, KeepsEqualChunksOnceAndFreesThemWithTheirLastName) {
  ChunkStore store = open();
  const std::string first = bytes(kChunkBytes, 'x'), one = first + "tail one", two = first + "tail two";
  put(store, one);
  const std::uint64_t used = store.used();
  put(store, two);
  EXPECT_EQ(store.used(), used + 8) << "only the tail is new";
  EXPECT_EQ(*store.remove(artefact_id(manifest_of(one))), 8u);
  EXPECT_EQ(*store.get(artefact_id(manifest_of(two)), 0), first);
  EXPECT_EQ(*store.remove(artefact_id(manifest_of(two))), kChunkBytes + 8);
  EXPECT_EQ(store.used(), 0u);
  EXPECT_EQ(store.remove(artefact_id(manifest_of(two))).error(), Errc::NoSuchArtefact);
}

TEST_F(Store, RefusesWhatDoesNotFit) {
  ChunkStore store = open(kChunkBytes);
  const Manifest big = manifest_of(bytes(kChunkBytes + 1, 'b'));
  EXPECT_EQ(store.begin(artefact_id(big), big).error(), Errc::QuotaExceeded);
  EXPECT_EQ(store.begin(sha256("x"), big).error(), Errc::BadManifest) << "not its name";
  put(store, bytes(kChunkBytes, 'b'));
}

TEST_F(Store, NoticesADiskThatForgets) {
  const std::string text = bytes(5000, 'd');
  const Digest id = artefact_id(manifest_of(text));
  {
    ChunkStore store = open();
    put(store, text);
    const std::string name = to_string(manifest_of(text).chunks.front());
    std::fstream(folder_ / "chunks" / name.substr(0, 2) / name, std::ios::in | std::ios::out) << "XX";
    EXPECT_EQ(store.get(id, 0).error(), Errc::BadDigest);
    fs::resize_file(folder_ / "chunks" / name.substr(0, 2) / name, 17);
  }
  EXPECT_EQ(open().missing(id)->size(), 1u) << "half a chunk is none";
}

TEST_F(Store, ASiteCountsUsesOfItsOwn) {
  fs::create_directories(folder_);
  const std::string path = (folder_ / "site.db").string();
  const Contract c{"contract-1", sha256("x"), "lab", {"clinic"},          {"far1"},
                   {"finetune"}, 2,           0,     DataClass::Internal, 1};
  const Use use{"clinic", "far1", "far1-h20", "finetune", 1, 0, false};
  {
    SiteBook book(path);
    EXPECT_TRUE(book.use(c, use, "job-1"));
    EXPECT_TRUE(book.use(c, use, "job-1")) << "the same use, asked again";
    EXPECT_TRUE(book.use(c, use, "job-2"));
  }
  SiteBook book(path);
  EXPECT_EQ(book.use(c, use, "job-3").error(), Errc::ContractCount);
  book.revoke("contract-1");
  EXPECT_EQ(book.use(c, use, "job-1").error(), Errc::ContractRevoked);
}

}  // namespace
}  // namespace qanat::jobs
