// read_file and write_file on a folder of their own.
#include "base/file.hh"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

namespace qanat::base {
namespace {

struct FileTest : testing::Test {
  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("qanat-file-" + std::to_string(::getpid()));
  std::string path = folder / "state";
  void SetUp() override { std::filesystem::create_directory(folder); }
  void TearDown() override { std::filesystem::remove_all(folder); }
};

TEST_F(FileTest, WritesReplacesAndLeavesNothingBehind) {
  write_file(path, "one");
  write_file(path, std::string(100'000, 'x') + "two", 0640);
  EXPECT_EQ(read_file(path).size(), 100'003u);
  struct ::stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0640u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator{folder}, {}), 1);
}

TEST_F(FileTest, ReadingIsBounded) {
  write_file(path, std::string(1000, 'x'));
  EXPECT_EQ(read_file(path, 1000).size(), 1000u);
  EXPECT_THROW(read_file(path, 999), std::system_error);
}

TEST_F(FileTest, ErrorsNameTheFile) {
  try {
    read_file(path);
    FAIL() << "there is no such file";
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), std::errc::no_such_file_or_directory);
    EXPECT_NE(std::string{e.what()}.find(path), std::string::npos);
  }
  EXPECT_THROW(write_file(folder / "no" / "such", "x"), std::system_error);
}

}  // namespace
}  // namespace qanat::base
