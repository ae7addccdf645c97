// Carries the precompiled headers of all tests (CMakeLists.txt): they have to belong to a program.
int main() {}
