// Contexts: written, read back, its owner's alone; the one in use by name.
#include "tools/qanat/contexts.hh"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tools/qanat/command_error.hh"

namespace qanat::cli {
namespace {

class ContextsTest : public ::testing::Test {
 protected:
  std::string folder_ = "/tmp/qanat-contexts-" + std::to_string(::getpid()),
              file_ = folder_ + "/a/contexts.json";
  void SetUp() override { ::setenv("QANAT_CONTEXTS", file_.c_str(), 1); }
  void TearDown() override {
    ::unsetenv("QANAT_CONTEXT");
    ::unsetenv("QANAT_CONTEXTS");
    std::filesystem::remove_all(folder_);
  }
};

TEST_F(ContextsTest, AreReadBackAndNobodyElsesToRead) {
  EXPECT_EQ(read_contexts(file_), Contexts{});
  EXPECT_FALSE(context_in_use());
  Contexts contexts;
  contexts.all["work"] = {"http://10.0.0.1:7480", "qa1.x.y", "", ""};
  contexts.all["home"] = {"", "", "http://127.0.0.1:8080", "sk-qanat-z"};
  contexts.current = "work";
  write_contexts(file_, contexts);
  EXPECT_EQ(read_contexts(file_), contexts);
  struct stat info {};
  ASSERT_EQ(::stat(file_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(context_in_use(), contexts.all["work"]);
  ::setenv("QANAT_CONTEXT", "home", 1);
  EXPECT_EQ(context_in_use(), contexts.all["home"]);
  ::setenv("QANAT_CONTEXT", "elsewhere", 1);
  EXPECT_THROW(context_in_use(), CommandError);
}

TEST_F(ContextsTest, WhatIsNoFileOfContextsIsSaid) {
  std::filesystem::create_directories(folder_ + "/a");
  std::ofstream(file_) << "[]";
  EXPECT_THROW(read_contexts(file_), CommandError);
  EXPECT_THROW(write_contexts("/proc/no/contexts.json", {}), CommandError);
}

}  // namespace
}  // namespace qanat::cli
