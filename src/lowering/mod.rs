//! Pure: the project in the runtime's words.
