function codes = kinds()
%KINDS The kinds of frames (section 8 of docs/wire.md).
  persistent made
  if isempty(made)
    made = struct('HELLO', 1, 'CHALLENGE', 2, 'PROOF', 3, 'WELCOME', 4, 'REJECT', 5, 'GOODBYE', 9, 'ERROR', 10, ...
      'MAKE', 32, 'RESET', 33, 'STEP', 34, 'RENDER', 35, 'ATTRIBUTE', 36, 'CLOSE', 37, 'STEP_AGENTS', 48, ...
      'SPEC', 64, 'RESULT', 65, 'FRAMES', 66, 'RETURNED', 67, 'CLOSED', 68, 'RESULT_AGENTS', 80);
  end
  codes = made;
end
