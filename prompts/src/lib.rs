//! Text for the model, as typed render functions.
