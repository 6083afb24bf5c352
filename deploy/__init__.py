"""What puts the function or the endpoint on AWS, and the programs that build it."""
